-- GIVE_UP nonce: the partition is anybody's, at once. A repeat changes nothing (I10).
if redis.pcall('GET', O) == ARGV[1] then
  redis.call('UNLINK', O)
end
wake_queue()
return {'OK', now_us}
