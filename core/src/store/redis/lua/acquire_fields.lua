-- ACQUIRE_FIELDS nonce exclusive_ms validity_ms seen name...: the fields if all of them are fresh and newer than `seen`, else
-- the lease of their key, or how long another holder has it to itself; see ACQUIRE.
local seen, values, is_hit = tonumber(ARGV[4]), fields_of(rest_of_argv(5)), true
for at = 1, #values do
  local format = format_of(values[at])
  if format and format > 1 then
    return {'FOREIGN', now_us}
  elseif format == 1 then
    local version, created, fresh_until, stale_until = struct.unpack('<I8I8I8I8', values[at], 13)
    local is_fresh = created <= now + 1000 and now < fresh_until and now < stale_until
    is_hit = is_hit and is_fresh and version > seen
  else
    values[at], is_hit = false, false
  end
end
if is_hit then
  return {'HIT', now_us, values}
end
return lease_or_wait(ARGV[1], tonumber(ARGV[2]), ARGV[3], values)
