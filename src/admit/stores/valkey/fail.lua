-- KEYS: row. ARGV: now, after, first, longest, forget (all but `after` microseconds). Answer: the wait now in force.
local now, after, first = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local longest, forget = tonumber(ARGV[4]), tonumber(ARGV[5])
-- the server forgets by its own clock; by ours the row may be over although it still stands
if tonumber(redis.call('HGET', KEYS[1], 'forget_at') or 0) <= now then
  redis.call('DEL', KEYS[1])
end
local failures = redis.call('HINCRBY', KEYS[1], 'failures', 1)
local wait = 0
if failures >= after then
  wait = math.min(longest, first * 2 ^ math.min(failures - after, 53))
end
redis.call('HSET', KEYS[1], 'until', now + wait, 'forget_at', now + forget)
-- kept a minute longer: a node whose clock is behind must still find it
redis.call('PEXPIRE', KEYS[1], math.ceil(forget / 1000) + 60000)
return wait
