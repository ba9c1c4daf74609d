-- PUBLISH max_len kept_ms service format data: KEYS[4] is the operation. A repeat finds what the first has made (I10).
local made = redis.pcall('GET', KEYS[4])
if type(made) == 'string' then
  return {'PUBLISHED', now_us, made}
end
local id = append(ARGV[1], ARGV[3], ARGV[4], ARGV[5])
redis.call('UNLINK', KEYS[4])
redis.call('SET', KEYS[4], id, 'PX', ARGV[2])
return {'PUBLISHED', now_us, id}
