-- LEAVE service consumer: what it holds is for any other, and it is forgotten. A repeat finds nothing (I10).
local group, me = ARGV[1], ARGV[2]
local function pending()
  return redis.pcall('XPENDING', S, group, '-', '+', 256, me)
end
local list = pending()
if list.err then
  return {'DONE', now_us}
end
local has_left = #list > 0
while #list > 0 do
  for _, one in ipairs(list) do
    -- The attempt that its next consumer counts is the one that did not happen here.
    redis.call('XCLAIM', S, group, LEFT, 0, one[1], 'RETRYCOUNT', math.max(one[4] - 1, 0), 'JUSTID')
  end
  list = pending()
end
redis.call('XGROUP', 'DELCONSUMER', S, group, me)
if state('h:' .. group) == me then
  redis.call('HDEL', C, 'h:' .. group, 'u:' .. group)
  has_left = true
end
if has_left then
  redis.call('HSET', C, 'l:' .. group, 1)
  wake()
end
return {'DONE', now_us}
