-- Correlation ids, the 202 and the problem documents of REST.
--
-- A Lua error lets the message pass as it is, so nothing that protects a vehicle may rest on this file.
--
-- Services speak to it in metadata: `x-http-code: 202` on success, or `x-http-body`, one line of ASCII JSON that is told
-- instead of the RPC's own message, and on failure `x-problem`, the whole problem document (RFC 9457) as one line of ASCII
-- JSON, with `retry-after` and the like beside it.

local METADATA = "ecarus.edge"
local INTERNAL = {
  "x-http-code", "x-http-body", "x-problem", "grpc-status", "grpc-message", "grpc-status-details-bin",
  "grpc-encoding", "grpc-accept-encoding",
  "x-envoy-upstream-healthchecked-cluster", "x-envoy-immediate-health-check-fail",
}
local PASSED_ON = { "retry-after", "www-authenticate", "ratelimit", "ratelimit-policy" }
-- What the services' documents begin with. Where the catalogue of problems is here, the listener's filter_context says:
-- one setting of the edge in place of one in each service (docs/decisions/0236).
local TYPE_BASE = "https://docs.ecarus.example/problems/"
local TYPED = '{"type":"' .. TYPE_BASE

-- For an error that brought no document of its own: a service that died, or grpc's own refusals.
-- code, title, detail, safe to retry, whether a change may have been made (nil: not known)
-- generated: fallbacks
local FALLBACK = {
  ["400"] = { "INVALID_REQUEST", "Invalid request",
    "The request is not one this service reads; correct it. Nothing was accepted.", false, false },
  ["404"] = { "PATH_NOT_FOUND", "No such path",
    "There is nothing at this path; see the API's list of endpoints.", false, false },
  ["415"] = { "UNSUPPORTED_MEDIA_TYPE", "Unsupported media type",
    "Send the body as application/json; gRPC is served on the mutual TLS port. Nothing was accepted.", false, false },
  ["429"] = { "RATE_LIMITED", "Too many requests",
    "Too many requests; nothing was accepted. Try again shortly.", true, false },
  ["501"] = { "PATH_NOT_FOUND", "No such path",
    "There is nothing at this path; see the API's list of endpoints.", false, false },
  ["503"] = { "DEPENDENCY_UNAVAILABLE", "Temporarily unavailable",
    "A part of the service is away; try again shortly, a command with the same X-Correlation-ID.", true, true },
  ["504"] = { "DEADLINE_EXCEEDED", "Deadline exceeded",
    "The service did not finish in time; repeat a command only with the same X-Correlation-ID.", true, true },
}
local DEFECT = { "INTERNAL_ERROR", "Internal error",
    "A defect of the service stopped this request; report it with the correlation id.", false, nil }
-- end of generated
-- What pages of other origins may send, and what of an answer their scripts may read (the Fetch standard's CORS; docs/decisions/0215).
local PAGE_SENDS = "Authorization, DPoP, Content-Type, Accept, Accept-Language, X-Correlation-ID, Idempotency-Key, Prefer, Last-Event-ID"
local PAGE_READS = "X-Correlation-ID, Location, Content-Location, Preference-Applied, Retry-After, RateLimit, RateLimit-Policy, "
  .. "WWW-Authenticate, Allow, Accept-Encoding, Date"
local PAGE_REMEMBERS = "600"
-- Two years of nothing but TLS (RFC 6797). Only over TLS, and not for "localhost": a browser would keep to it for
-- every other program there.
local HSTS = "max-age=63072000"

-- The header's value when it is there once and well formed (1-64 of A-Z a-z 0-9 . _ -), else nil.
local function usable(headers, name)
  local value = headers:get(name)
  if value and headers:getNumValues(name) == 1 and #value <= 64 and value:match("^[%w._-]+$") then
    return value
  end
  return nil
end

-- The same of an Idempotency-Key, which the IETF's draft has in quotes (a string of RFC 8941).
local function usable_key(headers)
  local value = headers:get("idempotency-key")
  local bare = value and value:match('^"([%w._-]+)"$')
  if bare and #bare <= 64 and headers:getNumValues("idempotency-key") == 1 then
    return bare
  end
  return usable(headers, "idempotency-key")
end

local function is_grpc(headers)
  return (headers:get("content-type") or ""):sub(1, 16) == "application/grpc"
end

-- A browser's EventSource comes back by itself while it is answered with 200, and at any other status never again.
local PASSES = { ["429"] = true, ["500"] = true, ["502"] = true, ["503"] = true, ["504"] = true }
local STREAM = "/door/updates/stream"
local HEALTH = "/grpc.health.v1.Health/"

-- The service that a health question names: a frame with one message, whose only field is the name.
local function health_of(handle)
  local body = handle:body()
  local bytes = body and body:getBytes(0, body:length()) or ""
  local length = bytes:byte(7)
  if bytes:byte(1) ~= 0 or bytes:byte(6) ~= 10 or not length or length > 127 or #bytes ~= 7 + length then
    return nil
  end
  return bytes:sub(8):match("^[%w._]+$")
end

-- The Origin of a page that may call the API. A preflight is answered in its place: see tell_page.
local function note_page(handle, headers, metadata, method)
  local origin = headers:get("origin")
  if not origin then
    return
  end
  local listed = handle:virtualHost():metadata()
  local exact, any_port = listed:get("cors_exact") or {}, listed:get("cors_any_port") or {}
  if not (exact[origin] or any_port[origin] or any_port[origin:match("^(.*):%d%d?%d?%d?%d?$") or ""]) then
    return
  end
  metadata:set(METADATA, "page", origin)
  if method == "OPTIONS" and headers:get("access-control-request-method") then
    metadata:set(METADATA, "preflight", headers:get("access-control-request-private-network") == "true" and "private" or "plain")
  end
end

-- One that is sent but malformed is left in place for the access service to refuse; the answer then
-- carries the made one.
function envoy_on_request(handle)
  local headers = handle:headers()
  local made = headers:get("x-request-id")
  local id
  if headers:get("x-correlation-id") then
    id = usable(headers, "x-correlation-id") or made
  else
    local alias = headers:get("idempotency-key")
    local key = usable_key(headers)
    id = key or made
    if not alias or key then
      headers:add("x-correlation-id", id)
    end
  end
  local metadata = handle:streamInfo():dynamicMetadata()
  local path, method, ssl = headers:get(":path"):match("^[^?]*"), headers:get(":method"), handle:streamInfo():downstreamSslConnection()
  local is_team, is_stream = ssl ~= nil and ssl:peerCertificatePresented(), path:sub(-#STREAM) == STREAM
  local is_rest, called_as_grpc = not is_team and path:sub(1, 5) == "/api/", is_grpc(headers)
  -- A stream has no end, so there is nothing to say of it beforehand: that stays 405.
  if method == "HEAD" and not is_team and not is_stream then
    method = "GET"
    headers:replace(":method", method)
    metadata:set(METADATA, "head", true)
  end
  metadata:set(METADATA, "correlation_id", id)
  metadata:set(METADATA, "path", path)
  metadata:set(METADATA, "method", method)
  -- What is false is left unsaid: each word said costs every request.
  if is_rest then
    note_page(handle, headers, metadata, method)
  end
  local host = headers:get(":authority"):lower():match("^[^:]*")
  if ssl ~= nil and host ~= "localhost" then
    metadata:set(METADATA, "hsts", true)
  end
  if called_as_grpc then
    metadata:set(METADATA, is_rest and "misnamed" or "native", true)
  end
  if is_stream and method == "GET" and (headers:get("accept") or ""):lower():find("text/event-stream", 1, true) then
    metadata:set(METADATA, "events", true)
  end
  if is_team and (path == HEALTH .. "Check" or path == HEALTH .. "Watch") then
    local name = health_of(handle)
    if name then
      handle:headers():replace("x-ecarus-health-of", name)
    end
  end
end

local function strip(headers)
  for _, name in ipairs(INTERNAL) do
    headers:remove(name)
  end
end

local function quoted(text)
  return '"' .. text:gsub('[%c"\\]', function(c) return string.format("\\u%04x", c:byte()) end) .. '"'
end

-- The document with a type that leads to this place's catalogue.
local function with_type_base(handle, document)
  local context = handle:filterContext()
  local base = context and context:get("problem_types")
  if not base or base == TYPE_BASE or document:sub(1, #TYPED) ~= TYPED then
    return document
  end
  return '{"type":"' .. base .. document:sub(#TYPED + 1)
end

-- The same of what access or the gateway refused, whose document is the body already.
local function replace_type_base(handle)
  local body = handle:body()
  if body then
    body:setBytes(with_type_base(handle, body:getBytes(0, body:length())))
  end
end

local function fallback(status, metadata)
  local code, title, detail, retryable, changed = unpack(FALLBACK[status] or DEFECT)
  local document = '{"type":' .. quoted(TYPE_BASE .. code:lower():gsub("_", "-")) .. ',"title":' .. quoted(title)
    .. ',"status":' .. status .. ',"detail":' .. quoted(detail) .. ',"instance":' .. quoted(metadata.path)
    .. ',"code":"' .. code .. '","correlationId":' .. quoted(metadata.correlation_id)
    .. ',"retryable":' .. tostring(retryable)
  if changed ~= nil then
    document = document .. ',"mayHaveSucceeded":' .. tostring(changed and metadata.method ~= "GET")
  end
  return document .. "}"
end

-- Replaces the transcoder's error by the service's document, and the status by the document's own.
local function tell(handle, headers, metadata)
  local document = headers:get("x-problem")
  local body = handle:body(true)
  headers = handle:headers() -- handles taken before body() are dead after it
  local trailers = not document and handle:trailers()
  if trailers then
    document = trailers:get("x-problem")
    for _, name in ipairs(PASSED_ON) do
      local value = trailers:get(name)
      if value then
        headers:replace(name, value)
      end
    end
  end
  local status = headers:get(":status")
  if status == "501" then
    status = "404"
  end
  if document then
    local stated = tonumber(document:match('"status":(%d+)'))
    if stated and stated >= 400 and stated <= 599 then
      status = tostring(stated)
    end
  else
    document = fallback(status, metadata)
    if status == "503" then
      headers:replace("retry-after", "1")
    end
  end
  body:setBytes(with_type_base(handle, document))
  headers:replace(":status", status)
  headers:replace("content-type", "application/problem+json")
  strip(headers)
end

-- To what is gRPC by its content type alone Envoy answers in gRPC, which nobody who asks for a path of REST reads.
local function refuse_misnamed(handle, headers, metadata)
  local status = headers:get("grpc-status") == "8" and "429" or "415"
  handle:body(true):setBytes(with_type_base(handle, fallback(status, metadata)))
  headers = handle:headers()
  headers:replace(":status", status)
  headers:replace("content-type", "application/problem+json")
  headers:replace("x-content-type-options", "nosniff")
  strip(headers)
end

-- What passes is told as a stream that has ended, with the delay after which its reader comes back.
local function end_stream(handle, headers)
  local body = handle:body(true)
  local document = body:getBytes(0, body:length())
  headers = handle:headers()
  local seconds = tonumber(headers:get("retry-after") or "") or 2
  local code = document:match('"code":"([%w_]+)"') or "DEPENDENCY_UNAVAILABLE"
  local detail = document:match('"detail":"([^"\\]*)"') or "try again shortly."
  body:setBytes(string.format("retry: %d\n: the stream ends: %s: %s\n", seconds * 1000, code, detail))
  headers = handle:headers()
  headers:replace(":status", "200")
  headers:replace("content-type", "text/event-stream")
  headers:remove("retry-after")
end

-- HEAD: as GET, with the length of a body that is not sent.
local function leave_body_out(handle)
  local body = handle:body()
  if body and body:length() > 0 then
    local length = body:length()
    body:setBytes("")
    handle:headers():replace("content-length", tostring(length))
  end
end

-- Every time has three digits (docs/decisions/0045): the services tell milliseconds, and the transcoder prints none of
-- them where a second is whole. A text that is such a time and nothing else gets them as well.
local WHOLE_SECOND = '("%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d)Z"'

-- Whether a text may hold such a time: of a thousand answers one does, and to look for its end costs a tenth of the
-- pattern's search.
local function may_hold_whole_second(text)
  local at = text:find('Z"', 1, true)
  while at do
    if text:byte(at - 3) == 58 then -- a colon before the seconds, where other times have their milliseconds
      return true
    end
    at = text:find('Z"', at + 1, true)
  end
  return false
end

local function tell_milliseconds(handle, instead)
  local body = handle:body(instead ~= nil)
  if body then
    local text = instead or body:getBytes(0, body:length())
    if instead then
      body:setBytes(text)
    end
    if may_hold_whole_second(text) then
      body:setBytes((text:gsub(WHOLE_SECOND, '%1.000Z"')))
    end
  end
end

-- Lets the page's script read the answer, whoever gave it. A preflight of a path that there is comes back as the 405 that says
-- which methods it has: that is told in the words of a preflight. Of a path that there is not it stays 404.
local function tell_page(handle, headers, metadata)
  headers:replace("access-control-allow-origin", metadata.page)
  if not metadata.preflight then
    headers:replace("access-control-expose-headers", PAGE_READS)
    return
  end
  local methods = headers:get("allow")
  if headers:get(":status") ~= "405" or not methods then
    return
  end
  handle:body(true):setBytes("")
  headers = handle:headers()
  headers:replace(":status", "200")
  headers:replace("access-control-allow-methods", methods)
  headers:replace("access-control-allow-headers", PAGE_SENDS)
  headers:replace("access-control-max-age", PAGE_REMEMBERS)
  if metadata.preflight == "private" then
    headers:replace("access-control-allow-private-network", "true")
  end
  headers:remove("content-type")
end

function envoy_on_response(handle)
  local headers = handle:headers()
  local metadata = handle:streamInfo():dynamicMetadata():get(METADATA)
  if not metadata then
    return -- refused before the request was seen; the local reply is complete
  end
  headers:replace("x-correlation-id", metadata.correlation_id)
  if metadata.native then
    headers:remove("x-http-code") -- all else of native gRPC passes untouched
    headers:remove("x-http-body")
    return
  end
  if metadata.path:sub(1, 5) == "/api/" then
    headers:add("vary", "Origin") -- who may read it differs, also where nobody was named
    if metadata.page then
      tell_page(handle, headers, metadata)
      headers = handle:headers()
    end
  end
  if metadata.hsts then
    headers:replace("strict-transport-security", HSTS)
  end
  local status = headers:get(":status")
  if metadata.misnamed then
    refuse_misnamed(handle, headers, metadata)
    return
  end
  -- The transcoder leaves an error whose details it cannot print as it was: gRPC, and without a body.
  if tonumber(status) >= 400 and (headers:get("content-type") == "application/json" or is_grpc(headers)) then
    tell(handle, headers, metadata)
  else
    if status == "200" and headers:get("x-http-code") == "202" then
      headers:replace(":status", "202")
    end
    local instead = headers:get("x-http-body")
    strip(headers)
    local content_type = headers:get("content-type")
    if content_type == "application/json" then
      tell_milliseconds(handle, instead) -- handles taken before body() are dead after it
    elseif content_type == "application/problem+json" then
      replace_type_base(handle)
    end
  end
  headers = handle:headers()
  if metadata.events and PASSES[headers:get(":status")] then
    end_stream(handle, headers)
  elseif metadata.head then
    leave_body_out(handle)
  elseif metadata.path:sub(1, 7) == "/readyz" and headers:get(":status") == "200" then
    handle:body(true):setBytes('{"status":"ready"}\n')
    handle:headers():replace("content-type", "application/json")
  end
  local trailers = handle:trailers() -- last: before it comes, the body has gone by
  if trailers then
    strip(trailers)
  end
end
