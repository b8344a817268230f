-- For wrk: gets, with LOAD_AUTHORIZATION, and ends with one line of JSON.
function init(args)
  wrk.headers["Authorization"] = os.getenv("LOAD_AUTHORIZATION")
end

function done(summary, latency, requests)
  local errors = summary.errors
  local lost = errors.connect + errors.read + errors.write + errors.timeout
  io.write(string.format('{"requests":%d,"microseconds":%d,"refused":%d,"lost":%d,"p50":%d,"p99":%d}\n',
    summary.requests, summary.duration, errors.status, lost, latency:percentile(50), latency:percentile(99)))
end
