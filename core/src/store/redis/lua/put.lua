-- PUT draft fresh_ms kept_ms, and what APPEND takes: the write goes into its queue, and the value is set as SET does, with the
-- id of its write in its tail. A repeat of its operation answers as the first did, and sets nothing (I10).
local answer, id = append(KEYS[4], KEYS[5], 4)
if not id then
  return answer
end
if has_writers() then
  contend()
else
  redis.call('UNLINK', F)
  revoke()
  answer[5] = store(ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]))
  -- Room for the id is right before the signature, else at the header's end.
  local flags, header_bytes = struct.unpack('<BxxI2', ARGV[1], 4)
  local is_signed = math.floor(flags / 4) % 2 == 1
  local ms, sequence = string.match(id, '^(%d+)-(%d+)$')
  local bytes = struct.pack('<I8I8', tonumber(ms), tonumber(sequence))
  redis.call('SETRANGE', V, header_bytes - 16 - (is_signed and 17 or 0), bytes)
end
wake()
return answer
