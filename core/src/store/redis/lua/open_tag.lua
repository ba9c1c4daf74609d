-- OPEN_TAG nonce kept_ms: the nonce that stands, or one made now. Its life is renewed only when less than half of it
-- is left: a renewal is a write, and writes of tags are pushed to every L1. A repeat finds what it made (I10).
local there = standing()
if not there then
  return make(now_us)
end
if redis.call('PTTL', T) * 2 < kept_ms then
  redis.call('PEXPIRE', T, kept_ms)
end
return {'NONCE', now_us, there}
