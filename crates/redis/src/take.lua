-- Judges requests one after the other, each in one moment: all limits of a request are counted, or none is.
--
-- KEYS: counters. ARGV[1], packed: of each request how many questions it asks; of each question which counter, the limit, the window in
-- seconds, the cost, and 1 if it is exact + 2 if it is only watched.
-- Gives, packed: the moment in ms; of each request 1 if it was counted; of each question 1 if the limit allows it, and its counter before.
-- A counter: the number of a window, what was used in it, and in the one before; where it is exact, the ms of each use, the oldest first.
--
-- One MGET, one SET of each counter that changed, no numbers as arguments (they are printed): that is what the time goes into.
local call, pack, read, floor, sub = redis.call, struct.pack, struct.unpack, math.floor, string.sub
local QUESTION, WINDOWS, MOMENT = '<I2I4I4I4B', '<I8I4I4', '<I8'
local EMPTY, LASTING = pack(WINDOWS, 0, 0, 0), true

local time = call('TIME')
local now = time[1] * 1000 + floor(time[2] / 1000)
local counters = call('MGET', unpack(KEYS))
local asked, at = ARGV[1], 1
-- What is said; of each counter that changed for how long it is kept; that time by the length of a window.
local said, n, changed, kept = { pack(MOMENT, now) }, 1, {}, {}
-- Of each question of the request at hand: its counter, what that was, how long it is kept if it is counted.
local which, was, keep = {}, {}, {}

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

local function ends(seconds)
  local text = kept[seconds]
  if not text then
    text = string.format('%d', seconds * 2)
    kept[seconds] = text
  end
  return text
end

while at <= #asked do
  local questions, passes = nil, true
  questions, at = read('<I2', asked, at)
  n = n + 1
  local verdict = n
  said[verdict] = '\1'
  for i = 1, questions do
    local counter, limit, seconds, cost, kind, fits, told
    counter, limit, seconds, cost, kind, at = read(QUESTION, asked, at)
    local before, length = counters[counter], seconds * 1000
    which[i], was[i], keep[i] = counter, before, false
    if kind % 2 == 1 then
      local uses = counting(before or '', length)
      fits = #uses / 8 + cost <= limit
      if fits and cost > 0 then
        counters[counter], keep[i] = uses .. string.rep(pack(MOMENT, now), cost), ends(seconds)
      end
      told = pack('<I2', #uses) .. uses
    else
      before = before or EMPTY
      local number, used, earlier = read(WINDOWS, before)
      local window = floor(now / length)
      local fresh = number == window
      -- By a clock that was set back, what is there counts on, from now.
      if number < window then
        if number == window - 1 then earlier = used else earlier = 0 end
        used = 0
      end
      fits = earlier * (length - now % length) + (used + cost) * length <= limit * length
      if fits and cost > 0 then
        counters[counter] = pack(WINDOWS, window, used + cost, earlier)
        keep[i] = fresh and LASTING or ends(seconds)
      end
      told = before
    end
    said[n + 1] = fits and '\1' or '\0'
    said[n + 2] = told
    n = n + 2
    if not fits and kind < 2 then passes = false end
  end
  if not passes then said[verdict] = '\0' end
  for i = questions, 1, -1 do
    local counter = which[i]
    if not passes then
      counters[counter] = was[i]
    elseif keep[i] and (keep[i] ~= LASTING or not changed[counter]) then
      changed[counter] = keep[i]
    end
  end
end

for counter, keeping in pairs(changed) do
  if keeping == LASTING then
    call('SET', KEYS[counter], counters[counter], 'KEEPTTL')
  else
    call('SET', KEYS[counter], counters[counter], 'EX', keeping)
  end
end
return table.concat(said)
