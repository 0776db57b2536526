"""Secrets that are in tutorials, samples, test suites and scanners' word lists. Data; compared in lower case.

Each was public before anyone set it, so a token signed with it proves nothing. Short ones would be
refused for their length too; they are here so that the message says what is wrong.
"""

from __future__ import annotations

KNOWN_SECRETS: frozenset[str] = frozenset(
    """
    secret secretkey secret_key secret-key secret123 secret1 mysecret my_secret my-secret mysecretkey
    my_secret_key my-secret-key topsecret top_secret top-secret supersecret super_secret super-secret
    supersecretkey super_secret_key super-secret-key supersecretpassword verysecret verysecretkey
    very_secret very-secret-key itsasecret shhhhh shhhhhhared-secret shared-secret shared_secret sharedsecret
    notsecret nosecret thisisasecret this_is_a_secret this-is-a-secret this_is_my_secret
    your-256-bit-secret your-384-bit-secret your-512-bit-secret your_256_bit_secret your-secret
    your_secret yoursecret your-secret-key your_secret_key yoursecretkey your-super-secret-key
    your-secret-key-here your_secret_key_here your-jwt-secret your_jwt_secret your-jwt-secret-key
    your-secret-key-change-this-in-production your-secret-key-change-in-production
    your-secret-key-keep-it-secret your-very-secret-key your-256-bit-secret-key
    your-super-secret-jwt-key-change-this-in-production insert-secret-here
    a-string-secret-at-least-256-bits-long a-string-secret-at-least-384-bits-long-padded-to-size
    a-string-secret-at-least-512-bits-long-which-is-longer-than-usual
    jwt jwtsecret jwt_secret jwt-secret jwtsecretkey jwt_secret_key jwt-secret-key jwtkey jwt_key
    jwt-token jwttoken token tokensecret token_secret access-token-secret access_token_secret
    refresh-token-secret refresh_token_secret authsecret auth_secret auth-secret session_secret sessionsecret
    signingkey signing_key signing-key hmackey hmac_key hmacsecret hs256 hs256-secret hs256_secret
    changeme change-me change_me changeit change-it change_it change-this changethis change_this
    change-me-in-production changemeinproduction please-change-me replaceme replace-me replace_me
    placeholder todo fixme none null undefined nil default default-secret defaultsecret example sample
    test test123 testing testsecret test_secret test-secret testkey test_key testtest dev development
    devsecret dev_secret dev-secret dev-secret-key local production prod demo admin admin123 administrator
    root toor user guest password password1 password123 passw0rd p@ssw0rd passwd pass pass123 pwd
    123 1234 12345 123456 1234567 12345678 123456789 1234567890 0123456789 012345678901234567890123456789xy
    0123456789abcdef 0123456789abcdef0123456789abcdef abc abc123 abcd1234 abcdef abcdefg qwerty qwerty123
    qwertyuiop letmein welcome monkey dragon iloveyou trustno1 hello helloworld hello-world foobar foo bar
    key key1 mykey my_key my-key private privatekey private_key private-key publickey public_key apikey
    api_key api-key appkey app_key app-secret app_secret appsecret client_secret clientsecret client-secret
    keyboardcat keyboard-cat django-insecure insecure gobbledygook hogehoge fugafuga piyo xxx xxxx
    deadbeef cafebabe kiosk nimda symfony laravel rails express node flask fastapi nextauth_secret
    09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7
    5f352379324c22463451387a0aec5d2f
    404e635266556a586e3272357538782f413f4428472b4b6250645367566b5970
    3cfa76ef14937c1c0ea519f8fc057a80fcd04a7420f8e8bcd0a7567c272e007b
    gqjnwzpvsdv0wubaw4m9kp3qnbizgq31
    af0502a8d86df6fe6a2c4cbf1bbf64a7
    ayM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow
    hJtXIZ2uSN5kbQfbtTNWbpdmhkV8FJG-Onbc6mxCcYg
    FdFYFzERwC2uCBB46pZQi4GG85LujR8obt-KWRBICVQ
    GawgguFyGrWKav7AX4VKUg
    """.lower().split()
) | {"keyboard cat", "secret key", "my secret", "my secret key", "your secret key", "top secret", "change me"}

#: parts that give a placeholder away wherever they stand; each long enough never to be met by chance
TELLING_PARTS: tuple[str, ...] = (
    "secret", "password", "passwd", "changeme", "change-me", "change_me", "change this",
    "change-this", "change_this", "changethis", "replaceme", "replace-me", "replace_me", "placeholder",
    "example", "default", "insecure",
    "256-bit", "256bit", "512-bit", "production", "testing", "jwt-key", "jwt_key", "letmein", "qwerty",
    "12345678", "01234567", "abcdefgh", "deadbeef", "lorem ipsum", "xxxxxxxx", "hunter2",
)  # fmt: skip
