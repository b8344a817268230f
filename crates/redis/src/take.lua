-- All limits of one request, judged in one moment: all are counted, or none is.
-- KEYS: a counter each. ARGV, five of each: limit, window in ms, cost, 1 if exact, 1 if only watched.
-- Gives four numbers of each: 1 if allowed, what remains, ms until all is free, ms until as much as was asked for is free.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local floor, max = math.floor, math.max
local asks, pass = {}, true

local function windows(ask)
  local said = redis.call('HMGET', ask.key, 'n', 'c', 'p')
  local number, c, p = tonumber(said[1]), tonumber(said[2]) or 0, tonumber(said[3]) or 0
  ask.number, ask.into = floor(now / ask.length), now % ask.length
  if number and number < ask.number then
    if number == ask.number - 1 then p = c else p = 0 end
    c = 0
  end
  -- A clock that was set back: what is there counts on, from now.
  ask.c, ask.p = c, p
end

local function judge_windows(ask)
  local length, limit, cost, c, p, into = ask.length, ask.limit, ask.cost, ask.c, ask.p, ask.into
  local used = p * (length - into) + c * length
  ask.allowed = used + cost * length <= limit * length
  ask.remaining = max(0, floor((limit * length - used) / length))
  if c > 0 then ask.reset = length - into + length elseif p > 0 then ask.reset = length - into else ask.reset = 0 end
  ask.retry = 0
  if not ask.allowed then
    if cost > limit then
      ask.retry = length
    elseif c + cost <= limit then
      ask.retry = length - floor((limit - c - cost) * length / max(1, p)) - into
    else
      ask.retry = (length - into) + (length - floor((limit - cost) * length / max(1, c)))
    end
  end
end

local function uses(ask)
  -- A clock that was set back: uses of what is now the future count from now.
  for _, use in ipairs(redis.call('ZRANGEBYSCORE', ask.key, '(' .. now, '+inf')) do
    redis.call('ZADD', ask.key, 'XX', now, use)
  end
  redis.call('ZREMRANGEBYSCORE', ask.key, '-inf', now - ask.length)
  ask.used = redis.call('ZCARD', ask.key)
end

local function judge_uses(ask)
  ask.allowed = ask.used + ask.cost <= ask.limit
  ask.remaining = max(0, ask.limit - ask.used)
  local last = redis.call('ZRANGE', ask.key, -1, -1, 'WITHSCORES')
  ask.reset = last[2] and (tonumber(last[2]) + ask.length - now) or 0
  ask.retry = 0
  if not ask.allowed then
    local surplus = ask.used + ask.cost - ask.limit
    local freed = redis.call('ZRANGE', ask.key, surplus - 1, surplus - 1, 'WITHSCORES')
    if ask.cost <= ask.limit and freed[2] then ask.retry = tonumber(freed[2]) + ask.length - now else ask.retry = ask.length end
  end
end

for i = 1, #KEYS do
  local at = (i - 1) * 5
  local ask = { key = KEYS[i], limit = tonumber(ARGV[at + 1]), length = tonumber(ARGV[at + 2]), cost = tonumber(ARGV[at + 3]),
    exact = ARGV[at + 4] == '1', watched = ARGV[at + 5] == '1' }
  if ask.exact then uses(ask) judge_uses(ask) else windows(ask) judge_windows(ask) end
  if not ask.allowed and not ask.watched then pass = false end
  asks[i] = ask
end

if pass then
  for _, ask in ipairs(asks) do
    if ask.allowed and ask.cost > 0 then
      if ask.exact then
        for n = 1, ask.cost do redis.call('ZADD', ask.key, now, now .. '-' .. ask.used .. '-' .. n) end
        redis.call('PEXPIRE', ask.key, ask.length)
        ask.used = ask.used + ask.cost
        ask.remaining, ask.reset = max(0, ask.limit - ask.used), ask.length
      else
        ask.c = ask.c + ask.cost
        redis.call('HSET', ask.key, 'n', ask.number, 'c', ask.c, 'p', ask.p)
        redis.call('PEXPIRE', ask.key, ask.length * 2)
        local used = ask.p * (ask.length - ask.into) + ask.c * ask.length
        ask.remaining = max(0, floor((ask.limit * ask.length - used) / ask.length))
        ask.reset = ask.length - ask.into + ask.length
      end
    end
  end
end

local said = {}
for _, ask in ipairs(asks) do
  said[#said + 1] = ask.allowed and 1 or 0
  said[#said + 1] = ask.remaining
  said[#said + 1] = ask.reset
  said[#said + 1] = ask.allowed and 0 or max(1, ask.retry)
end
return said
