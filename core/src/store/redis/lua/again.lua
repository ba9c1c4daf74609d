-- AGAIN nonce lease_ms, then id and number in pairs: these are about to be handed out for the how-manieth time. A repeat
-- writes the same numbers (I10).
if not owns(ARGV[1], ARGV[2]) then
  return {'LOST', now_us}
end
local found = redis.pcall('HGET', A, '')
if type(found) == 'table' and found.err then
  redis.call('UNLINK', A)
end
for at = 3, #ARGV - 1, 2 do
  redis.call('HSET', A, ARGV[at], ARGV[at + 1])
end
return {'OK', now_us}
