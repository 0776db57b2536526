"""For services without our database: keys, revocations and API keys are asked of the issuer over HTTP."""

from admit.verifier.feed import OfflineFeed, RemoteFeed
from admit.verifier.issuer import Issuer, issuer_client
from admit.verifier.jwks import Jwks
from admit.verifier.truth import OfflineTruth, RemoteTruth, Tokens

__all__ = ["Issuer", "Jwks", "OfflineFeed", "OfflineTruth", "RemoteFeed", "RemoteTruth", "Tokens", "issuer_client"]
