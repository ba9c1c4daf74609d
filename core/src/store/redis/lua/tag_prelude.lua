-- What the scripts of tags begin with. KEYS: T the tag. ARGV: the client's eight bytes, kept_ms. Nobody waits for a tag,
-- so none is woken. Replies are {'NONCE', microseconds, nonce}.
local T, nonce, kept_ms = KEYS[1], ARGV[1], tonumber(ARGV[2])
local time = redis.call('TIME')
local now_us = time[1] * 1000000 + time[2]

-- The nonce at T, or nil for whatever is none: absent, another length, a wrong type.
local function standing()
  local bytes = redis.pcall('GET', T)
  if type(bytes) == 'string' and #bytes == 16 then
    return bytes
  end
end

-- Writes the nonce that is made of the client's bytes and these microseconds, packed as they are: `..` would cut them.
-- UNLINK comes before SET, whose wrong type it removes, and so that a full memory does not refuse what it need not.
local function make(made_us)
  local made = nonce .. struct.pack('<I8', made_us)
  redis.call('UNLINK', T)
  redis.call('SET', T, made, 'PX', kept_ms)
  return {'NONCE', now_us, made}
end

