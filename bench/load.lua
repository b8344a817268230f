-- For wrk: posts the file named by LOAD_BODY, and ends with one line of JSON.
-- `@` in the body becomes a number that differs from request to request.
local pieces, count, thread_count = {}, 0, 0

local function split(text)
  local list, from = {}, 1
  for at in text:gmatch("()@") do
    list[#list + 1] = text:sub(from, at - 1)
    from = at + 1
  end
  list[#list + 1] = text:sub(from)
  return list
end

function setup(thread)
  thread_count = thread_count + 1
  thread:set("id", thread_count)
end

function init(args)
  local file = assert(io.open(os.getenv("LOAD_BODY"), "rb"))
  pieces = split(file:read("*a"))
  file:close()
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
  wrk.headers["Authorization"] = os.getenv("LOAD_AUTHORIZATION")
  count = id * 1000000000
end

function request()
  count = count + 1
  return wrk.format(nil, nil, nil, table.concat(pieces, tostring(count)))
end

function done(summary, latency, requests)
  local errors = summary.errors
  local lost = errors.connect + errors.read + errors.write + errors.timeout
  io.write(string.format('{"requests":%d,"microseconds":%d,"refused":%d,"lost":%d,"p50":%d,"p99":%d}\n',
    summary.requests, summary.duration, errors.status, lost, latency:percentile(50), latency:percentile(99)))
end
