-- SETTLE_VALUE ms sequence: a sink has committed the write of this id. Every right to fill goes (I1): a fill that began before
-- the commit must not be stored after it. The entry goes too, unless it is of this write or a later one, which is still to
-- be committed. A repeat only costs another miss (I10).
local function is_of_this_or_later()
  local header = redis.pcall('GETRANGE', V, 0, 71)
  if format_of(header) ~= 1 then
    return false
  end
  local flags, header_bytes = struct.unpack('<BxxI2', header, 4)
  if math.floor(flags / 16) % 2 == 0 then
    return false
  end
  local at = header_bytes - 16 - (math.floor(flags / 4) % 2 == 1 and 17 or 0)
  local id = redis.call('GETRANGE', V, at, at + 15)
  if #id < 16 then
    return false
  end
  local ms, sequence = struct.unpack('<I8I8', id)
  local our_ms, our_sequence = tonumber(ARGV[1]), tonumber(ARGV[2])
  return ms > our_ms or (ms == our_ms and sequence >= our_sequence)
end
if has_writers() then
  contend()
else
  revoke()
  if is_of_this_or_later() then
    redis.call('UNLINK', F)
  else
    redis.call('UNLINK', V, F)
  end
end
wake()
return {'OK', now_us}
