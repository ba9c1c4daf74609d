-- TAKE_DEAD_LETTER service id again: out of the dead letters, and with `again` into the stream, for this service alone.
-- A repeat finds it gone (I10).
local found = redis.pcall('XRANGE', D, ARGV[2], ARGV[2])
if found.err or #found == 0 then
  return {'GONE', now_us}
end
redis.call('XDEL', D, ARGV[2])
if ARGV[3] == '1' then
  local entry = found[1][2]
  append(nil, field(entry, 's'), field(entry, 'f'), field(entry, 'd'), ARGV[1])
end
return {'DONE', now_us}
