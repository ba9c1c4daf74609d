-- SET_ASIDE nonce lease_ms reason, then id and attempts in pairs: these writes go to the dead letters, with the id that their
-- sink knew them by. A repeat finds them gone (I10).
if not owns(ARGV[1], ARGV[2]) then
  return {'LOST', now_us}
end
local length = length_of(Q)
length_of(D)
for at = 4, #ARGV - 1, 2 do
  local id = ARGV[at]
  local found = redis.call('XRANGE', Q, id, id)[1]
  if found then
    local fields, has_origin = found[2], false
    for name = 1, #fields, 2 do
      has_origin = has_origin or fields[name] == 'i'
    end
    if not has_origin then
      fields[#fields + 1], fields[#fields + 2] = 'i', id
    end
    redis.call('XADD', D, '*', 'a', ARGV[at + 1], 'r', ARGV[3], unpack(fields))
    length = length - redis.call('XDEL', Q, id)
  end
  forget(id)
end
return {'SETTLED', now_us, length}
