-- Judges requests one after the other, each in one moment: all limits of a request are counted, or none is.
--
-- KEYS: counters. ARGV[1], packed: how many terms there are; of each the limit, the window in seconds, the cost, and 1 if it is exact
-- + 2 if it is only watched; then of each request how many questions it asks; of each question which counter, by which terms.
-- Gives, packed: the moment in ms; each counter as it was; of each request 1 if all its limits allow it, otherwise 2 if it was counted
-- all the same and 0 if it was not, and then of each question 1 if its limit allows it.
-- A counter: the number of a window, what was used in it, and in the one before; where it is exact, the ms of each use, the oldest first.
-- What has another form is none: somebody else wrote it, and it begins anew.
--
-- The time goes into calls, into strings that are made and into whatever is done for each question: so one MGET, one write of each counter
-- that changed (SETRANGE where its window and its end stay), no numbers as arguments (they are printed), each counter unpacked once and
-- packed once, terms told once. What was used when each question was judged is worked out by who asks.
local call, pack, read, byte, floor, sub = redis.call, struct.pack, struct.unpack, string.byte, math.floor, string.sub
local TERMS, WINDOWS, MOMENT = '<I4I4I4B', '<I8I4I4', '<I8'
local EMPTY, MOST_EXACT = pack(WINDOWS, 0, 0, 0), 100

local time = call('TIME')
local now = time[1] * 1000 + floor(time[2] / 1000)
local counters = call('MGET', unpack(KEYS))
local asked = ARGV[1]
local terms, at = read('<I2', asked)
-- Of each of the terms: in ms, the window, what is left of the one at hand, and the limit times the window.
local limits, seconds, costs, exact, watched, lengths, left, most = {}, {}, {}, {}, {}, {}, {}, {}
for i = 1, terms do
  local limit, window, cost, kind
  limit, window, cost, kind, at = read(TERMS, asked, at)
  local length = window * 1000
  limits[i], seconds[i], costs[i], exact[i], watched[i] = limit, window, cost, kind % 2 == 1, kind >= 2
  lengths[i], left[i], most[i] = length, length - now % length, limit * length
end

-- Of each counter: what is used, a number or, where it is exact, its moments; that as it was; what was used in the window before; whether
-- that window is the one at hand; by which terms it is kept.
local used, was, earlier, fresh, keep = {}, {}, {}, {}, {}

-- Reads a counter: what is used of it. By a clock that was set back, what is there counts on, from now.
local function open(counter, term)
  local value = counters[counter]
  keep[counter] = term
  if exact[term] then
    if not value or #value % 8 ~= 0 or #value > 8 * MOST_EXACT then value = '' end
    used[counter], was[counter], counters[counter] = value, value, pack('<I2', #value) .. value
    return value
  end
  if not value or #value ~= #EMPTY then value = EMPTY end
  local number, uses, before = read(WINDOWS, value)
  local window = floor(now / lengths[term])
  if number < window then
    if number == window - 1 then before = uses else before = 0 end
    uses = 0
  end
  used[counter], was[counter], earlier[counter], fresh[counter] = uses, uses, before, number == window
  counters[counter] = value
  return uses
end

-- Uses that still count. By a clock that was set back, those of what is now the future count from now.
local function counting(uses, length)
  if uses ~= '' and read(MOMENT, uses, #uses - 7) > now then
    local moments = {}
    for i = 1, #uses, 8 do moments[#moments + 1] = pack(MOMENT, math.min(read(MOMENT, uses, i), now)) end
    uses = table.concat(moments)
  end
  local first = 1
  while first < #uses and read(MOMENT, uses, first) <= now - length do first = first + 8 end
  return sub(uses, first)
end

local verdicts, n = {}, 0
while at <= #asked do
  local low, high = byte(asked, at, at + 1)
  local questions, passes, failed, before = low + 256 * high, true, nil, nil
  at = at + 2
  local first = at
  for i = 1, questions do
    local counter, over, term, more = byte(asked, at, at + 3)
    counter, term, at = counter + 256 * over, term + 256 * more, at + 4
    local uses, cost, fits = used[counter] or open(counter, term), costs[term], nil
    if exact[term] then
      local counted = counting(uses, lengths[term])
      fits = #counted / 8 + cost <= limits[term]
      if fits and cost > 0 then
        before = before or {}
        before[i], used[counter] = uses, counted .. string.rep(pack(MOMENT, now), cost)
      end
      -- An exact counter may have windows of several lengths: it is kept for the longest.
      if seconds[term] > seconds[keep[counter]] then keep[counter] = term end
    else
      uses = uses + cost
      fits = earlier[counter] * left[term] + uses * lengths[term] <= most[term]
      if fits then used[counter] = uses end
    end
    if not fits then
      failed = failed or {}
      failed[i] = true
      if not watched[term] then passes = false end
    end
  end
  n = n + 1
  if not failed then
    verdicts[n] = '\1'
  else
    verdicts[n] = passes and '\2' or '\0'
    for i = 1, questions do verdicts[n + i] = failed[i] and '\0' or '\1' end
    n = n + questions
  end
  if not passes then
    -- Nothing of it is counted: back again, the last first.
    for i = questions, 1, -1 do
      local counter, over, term, more = byte(asked, first + 4 * i - 4, first + 4 * i - 1)
      counter, term = counter + 256 * over, term + 256 * more
      if before and before[i] then
        used[counter] = before[i]
      elseif not failed[i] and not exact[term] then
        used[counter] = used[counter] - costs[term]
      end
    end
  end
end

for counter = 1, #KEYS do
  local uses, term = used[counter], keep[counter]
  if uses ~= was[counter] then
    if fresh[counter] then
      call('SETRANGE', KEYS[counter], '8', pack('<I4', uses))
    else
      if not exact[term] then uses = pack(WINDOWS, floor(now / lengths[term]), uses, earlier[counter]) end
      call('SET', KEYS[counter], uses, 'EX', string.format('%d', seconds[term] * 2))
    end
  end
end
return pack(MOMENT, now) .. table.concat(counters) .. table.concat(verdicts)
