-- ACK service id: the service is done with it. A repeat finds it gone (I10).
redis.pcall('XACK', S, ARGV[1], ARGV[2])
return {'DONE', now_us}
