-- KEYS: bucket. ARGV: now, cost (microseconds). Answer: 1.
local now, cost = tonumber(ARGV[1]), tonumber(ARGV[2])
local tat = tonumber(redis.call('GET', KEYS[1]) or 0) - cost
if tat > now then
  -- kept a minute longer: a node whose clock is behind must still find it
  redis.call('SET', KEYS[1], tat, 'PX', math.ceil((tat - now) / 1000) + 60000)
else
  redis.call('DEL', KEYS[1])
end
return 1
