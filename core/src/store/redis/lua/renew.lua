-- RENEW g n exclusive_ms validity_ms: prolongs the exclusive time of the latest grant, and of no other (I3). Repeats
-- only prolong again (I10).
local g, n = lease('g', 'n')
if not g or g ~= ARGV[1] or tonumber(n) ~= tonumber(ARGV[2]) then
  return {'LOST', now_us}
end
redis.call('HSET', L, 'u', now + tonumber(ARGV[3]))
redis.call('PEXPIRE', L, tonumber(ARGV[4]))
return {'OK', now_us}
