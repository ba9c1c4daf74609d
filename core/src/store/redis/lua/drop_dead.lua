-- DROP_DEAD from to count: what was set aside between these ids is removed. A repeat finds it gone (I10).
local count = tonumber(ARGV[3])
length_of(D)
local found = redis.call('XRANGE', D, ARGV[1], ARGV[2], 'COUNT', count + 1)
local moved = math.min(count, #found)
for at = 1, moved do
  redis.call('XDEL', D, found[at][1])
end
return {'MOVED', now_us, moved, #found > count and 1 or 0}
