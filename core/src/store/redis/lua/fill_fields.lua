-- FILL_FIELDS g n, and for each name draft fresh_ms kept_ms: stores the fields if the grant still stands. What else stands at
-- the key stays.
local refusal = refused(ARGV[1], tonumber(ARGV[2]))
if refusal then
  return refusal
end
local version = store_fields(rest_of_argv(3))
wake()
return {'STORED', now_us, version}
