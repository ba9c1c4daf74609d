-- GAP_DONE service missed: what was missed has been dealt with, unless more has been missed meanwhile.
local group = ARGV[1]
if state('m:' .. group) == ARGV[2] then
  redis.call('HDEL', C, 'm:' .. group, 'h:' .. group, 'u:' .. group)
end
return {'DONE', now_us}
