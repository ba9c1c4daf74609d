-- INVALIDATE_TAG nonce kept_ms: another nonce, whatever stands there, so that no entry that carries the old one counts
-- any more (I9). A repeat only makes another one yet (I10): its microseconds grow, though the clock may stand still or
-- have stepped back. Beyond 2^53 a number of Lua's is not exact, and no clock of ours has been there.
local there = standing()
local made_us = now_us
if there then
  local before = struct.unpack('<I8', there, 9)
  if before >= now_us and before < 2 ^ 53 - 1 then
    made_us = before + 1
  end
end
return make(made_us)
