-- READ nonce lease_ms after count bytes_max: what is pending behind `after`, in its order, with how often each has been
-- handed out, and how many are set aside. By pages, so that large values do not all stand in memory at once.
if not owns(ARGV[1], ARGV[2]) then
  return {'LOST', now_us}
end
local PAGE = 16
local length = length_of(Q)
local count, bytes_max = tonumber(ARGV[4]), tonumber(ARGV[5])
local items, attempts, bytes, has_more, from = {}, {}, 0, 1, '(' .. ARGV[3]
while #items < count and bytes < bytes_max do
  local page = redis.call('XRANGE', Q, from, '+', 'COUNT', math.min(PAGE, count - #items))
  if #page == 0 then
    has_more = 0
    break
  end
  for _, item in ipairs(page) do
    items[#items + 1] = item
    attempts[#items] = tonumber(redis.pcall('HGET', A, item[1]) or 0) or 0
    for _, part in ipairs(item[2]) do
      bytes = bytes + #part
    end
    from = '(' .. item[1]
  end
end
return {'ITEMS', now_us, length, has_more, items, attempts, length_of(D)}
