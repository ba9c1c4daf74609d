-- REVIVE from to count: what was set aside between these ids goes to the end of its queue again, under the id that its sink
-- knows. A repeat finds it gone (I10).
local count = tonumber(ARGV[3])
local was_empty = length_of(Q) == 0
length_of(D)
local found = redis.call('XRANGE', D, ARGV[1], ARGV[2], 'COUNT', count + 1)
local moved = math.min(count, #found)
for at = 1, moved do
  local id, fields = found[at][1], {}
  for name = 1, #found[at][2], 2 do
    if found[at][2][name] ~= 'a' and found[at][2][name] ~= 'r' then
      fields[#fields + 1], fields[#fields + 2] = found[at][2][name], found[at][2][name + 1]
    end
  end
  redis.call('XADD', Q, '*', unpack(fields))
  redis.call('XDEL', D, id)
end
if moved > 0 and was_empty then
  wake_queue()
end
return {'MOVED', now_us, moved, #found > count and 1 or 0}
