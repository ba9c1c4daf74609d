-- STATE: what is pending, from where to where, and the last that was set aside; '' for none.
local function end_of(stream, command, from, to)
  local found = redis.pcall(command, stream, from, to, 'COUNT', 1)
  return found[1] and found[1][1] or ''
end
local length = redis.pcall('XLEN', Q)
if type(length) ~= 'number' then
  length = 0
end
local first, last = end_of(Q, 'XRANGE', '-', '+'), end_of(Q, 'XREVRANGE', '+', '-')
return {'STATE', now_us, length, first, last, end_of(D, 'XREVRANGE', '+', '-')}
