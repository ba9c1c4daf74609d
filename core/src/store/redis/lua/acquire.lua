-- ACQUIRE nonce exclusive_ms validity_ms seen: the entry if it is fresh and newer than `seen`, else the lease, or how
-- long another holder has it to itself. Grants are given once (I2) and grow (I3); a call that is repeated because its
-- reply was lost gets the grant it had (I10).
local nonce, exclusive_ms, validity_ms, seen = ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
local value = redis.pcall('GET', V)
local format = format_of(value)
if format and format > 1 then
  return {'FOREIGN', now_us}
elseif format == 1 then
  local version, created, fresh_until, stale_until = struct.unpack('<I8I8I8I8', value, 13)
  local is_fresh = created <= now + 1000 and now < fresh_until and now < stale_until
  if is_fresh and version > seen then
    return {'HIT', now_us, value}
  end
else
  value = false
end
return lease_or_wait(nonce, exclusive_ms, validity_ms, value)
