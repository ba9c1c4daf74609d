-- INVALIDATE_FIELDS settle_ms name...: removes these fields, the whole value and every right to fill (I1); see INVALIDATE. The
-- other fields stay.
local settle_ms = tonumber(ARGV[1])
if has_writers() then
  contend()
else
  redis.call('UNLINK', V, L)
  local names = rest_of_argv(2)
  fields_of(names)
  redis.call('HDEL', F, unpack(names))
end
settle(settle_ms)
wake()
return {'OK', now_us}
