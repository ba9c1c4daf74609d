-- SET_FIELDS not_after_ms, and for each name draft fresh_ms kept_ms: stores the fields unless it arrives too late, as SET does.
-- The whole value that may stand there goes, with every right to fill (I1): both may hold what these fields were before.
local refusal = refused(tonumber(ARGV[1]))
if refusal then
  return refusal
end
redis.call('UNLINK', V)
revoke()
local version = store_fields(rest_of_argv(2))
wake()
return {'STORED', now_us, version}
