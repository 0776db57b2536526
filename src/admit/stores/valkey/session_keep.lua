-- KEYS: session. ARGV: version, seen_at, idle (microseconds), life (seconds). Answer: 1, or 0 when a newer one stands.
-- Two processes may write what they committed in the other order; the version says whose was last.
if tonumber(redis.call('HGET', KEYS[1], 'version') or 0) > tonumber(ARGV[1]) then
  return 0
end
redis.call('HSET', KEYS[1], 'version', ARGV[1], 'seen_at', ARGV[2], 'idle', ARGV[3])
redis.call('EXPIRE', KEYS[1], ARGV[4])
return 1
