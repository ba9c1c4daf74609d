-- Puts a write into Q, once for its operation, which is remembered at P: what to answer, and the id of a new write. What
-- ARGV holds from `at`: not_after_ms, kept_ms, the most that may be pending, Q's wake channel, the number of fields and values,
-- those. XADD is the first that is written, so that a full memory refuses all of it.
local function append(stream, P, at)
  local length = redis.pcall('XLEN', stream)
  local is_stream = type(length) == 'number'
  if not is_stream then
    length = 0
  end
  local done = redis.pcall('GET', P)
  if type(done) == 'string' then
    return {'APPENDED', now_us, done, length, 0}
  end
  if now > tonumber(ARGV[at]) then
    return {'LATE', now_us}
  end
  if length >= tonumber(ARGV[at + 2]) then
    return {'FULL', now_us, length}
  end
  if not is_stream then
    redis.call('UNLINK', stream)
  end
  local count = tonumber(ARGV[at + 4])
  local id = redis.call('XADD', stream, '*', unpack(ARGV, at + 5, at + 4 + count))
  redis.call('SET', P, id, 'PX', ARGV[at + 1])
  if length == 0 then
    redis.pcall('SPUBLISH', ARGV[at + 3], '')
  end
  return {'APPENDED', now_us, id, length + 1, 0}, id
end

