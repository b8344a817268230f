-- Counts a failure on every ladder; or, if one of them pauses, on none, and gives the longest pause in seconds.
-- KEYS: a ladder each. ARGV: for how many ms a ladder is remembered; then two of each: which part of its failures counts, its longest pause.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function step(failures)
  if failures < 5 then return 0 end
  if failures == 5 then return 1 end
  if failures == 6 then return 3 end
  if failures == 7 then return 5 end
  if failures == 8 then return 10 end
  if failures < 12 then return 60 end
  if failures < 100 then return 900 end
  return 86400
end

local longest, counts = 0, {}
for i, key in ipairs(KEYS) do
  local said = redis.call('HMGET', key, 'n', 'a')
  local n = tonumber(said[1]) or 0
  -- A clock that was set back: the pause begins anew, and is no longer than it was.
  local at = math.min(tonumber(said[2]) or now, now)
  local pause = math.min(step(math.floor(n / tonumber(ARGV[i * 2]))), tonumber(ARGV[i * 2 + 1]))
  longest = math.max(longest, at + pause * 1000 - now)
  counts[i] = n
end
if longest > 0 then return math.ceil(longest / 1000) end
for i, key in ipairs(KEYS) do
  redis.call('HSET', key, 'n', counts[i] + 1, 'a', now)
  redis.call('PEXPIRE', key, ARGV[1])
end
return 0
