-- SET_ASIDE service id attempt error publisher format data kept: whoever takes it out of what is pending keeps it among
-- the dead letters, so a repeat keeps nothing (I10). XACK comes first: a full memory does not refuse what follows.
local was_pending = redis.pcall('XACK', S, ARGV[1], ARGV[2])
if was_pending == 1 then
  redis.call('XADD', D, 'MAXLEN', '~', ARGV[8], '*', 'i', ARGV[2], 'a', ARGV[3], 'e', ARGV[4], 's', ARGV[5],
    'f', ARGV[6], 'd', ARGV[7])
end
return {'DONE', now_us}
