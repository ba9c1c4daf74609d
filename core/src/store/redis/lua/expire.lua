-- EXPIRE: the soft invalidation. Every right to fill goes (I1), and so do the fields; the entry stays for stale_if_error but
-- is no longer fresh. What is no entry of our format cannot be marked, so it is removed. A repeat changes nothing (I10).
if has_writers() then
  contend()
else
  redis.call('UNLINK', F)
  revoke()
  if format_of(redis.pcall('GETRANGE', V, 0, 71)) == 1 then
    redis.call('SETRANGE', V, 28, string.rep('\0', 8))
  else
    redis.call('UNLINK', V)
  end
end
wake()
return {'OK', now_us}
