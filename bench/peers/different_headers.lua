-- W8: with Host 20 headers; one is a number that grows, and so is a parameter of the query.
local head, count
init = function()
  local lines = {"Host: " .. wrk.host .. ":" .. wrk.port}
  for number = 1, 18 do
    lines[#lines + 1] = "X-Header-" .. number .. ": a value of usual length " .. number
  end
  head, count = table.concat(lines, "\r\n"), 0
end
request = function()
  count = count + 1
  return "GET /api/smart?page=" .. count .. " HTTP/1.1\r\n" .. head .. "\r\nX-Number: " .. count .. "\r\n\r\n"
end
