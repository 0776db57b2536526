-- KEYS: sessions. ARGV: a moment (microseconds) for each. Answer: how many moved.
-- Never moves back, never makes one anew, never revives one that was silent for too long.
local moved = 0
for index, key in ipairs(KEYS) do
  local moment, stored = tonumber(ARGV[index]), redis.call('HMGET', key, 'seen_at', 'idle')
  local seen_at, idle = tonumber(stored[1] or nil), tonumber(stored[2] or nil)
  if seen_at and idle and seen_at < moment and moment < seen_at + idle then
    redis.call('HSET', key, 'seen_at', ARGV[index])
    moved = moved + 1
  end
end
return moved
