-- SET not_after_ms draft fresh_ms kept_ms: stores the entry unless it arrives too late (a timed-out SET may have sat
-- in a client's buffer, I10), and takes away every right to fill (I1). A settle time that runs stays, and does not
-- concern this value, which was not read from anywhere.
local refusal = refused(tonumber(ARGV[1]))
if refusal then
  return refusal
end
redis.call('UNLINK', F)
revoke()
local version = store(ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]))
wake()
return {'STORED', now_us, version}
