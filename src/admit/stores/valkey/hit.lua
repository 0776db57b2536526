-- KEYS: bucket. ARGV: now, cost, window (microseconds). Answer: {1 or 0, theoretical arrival time}.
-- Lua's numbers hold whole microseconds until the year 2255.
local now, cost, window = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local begin = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now)
if begin + cost > now + window then
  return {0, begin}
end
-- kept a minute longer: a node whose clock is behind must still find it
redis.call('SET', KEYS[1], begin + cost, 'PX', math.ceil((begin + cost - now) / 1000) + 60000)
return {1, begin + cost}
