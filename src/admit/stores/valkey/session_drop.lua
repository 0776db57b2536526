-- KEYS: sessions. ARGV: a version for each; what is older is dead. Answer: how many went.
local gone = 0
for index, key in ipairs(KEYS) do
  local version = tonumber(redis.call('HGET', key, 'version') or nil)
  if version and version < tonumber(ARGV[index]) then
    gone = gone + redis.call('DEL', key)
  end
end
return gone
