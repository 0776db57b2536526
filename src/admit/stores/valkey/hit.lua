-- KEYS: bucket. ARGV: now, cost, window (microseconds). Answer: {1 or 0, theoretical arrival time}.
-- Doubles hold whole microseconds until the year 2255; Lua's own number format would round them to 14 digits.
local now, cost, window = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local begin = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now)
if begin + cost > now + window then
  return {0, begin}
end
local tat = begin + cost
local left = string.format('%.0f', math.ceil((tat - now) / 1000))
redis.call('SET', KEYS[1], string.format('%.0f', tat), 'PX', left)
return {1, tat}
