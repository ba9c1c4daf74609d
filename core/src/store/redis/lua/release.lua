-- RELEASE g n: gives the exclusive time of the latest grant up, so that the next caller need not wait. The right to
-- fill stays as it was (I1, I3); a repeat changes nothing (I10).
local g, n = lease('g', 'n')
if not g or g ~= ARGV[1] or tonumber(n) ~= tonumber(ARGV[2]) then
  return {'LOST', now_us}
end
redis.call('HSET', L, 'u', 0)
wake()
return {'OK', now_us}
