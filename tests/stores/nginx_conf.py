"""The configuration of nginx as a proxy that can delay, break and count requests."""

from __future__ import annotations

import os
from pathlib import Path

from tests.stores.processes import LOCALHOST

MODULES = Path("/usr/lib/nginx/modules")
"""Where Debian and Ubuntu keep them."""

TEMPLATE = """\
load_module {modules}/ndk_http_module.so;
load_module {modules}/ngx_http_lua_module.so;
{user}
daemon off;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
# One worker, so that a request which the client saw answered is in the log before the worker takes
# the next one: counting after a round trip to the control server counts everything.
worker_processes 1;
worker_rlimit_nofile 16384;
events {{ worker_connections 8192; }}
http {{
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    lua_shared_dict settings 1m;
    log_format requests escape=json
        '{{"ended":$msec,"seconds":$request_time,"method":"$request_method","uri":"$request_uri",'
        '"status":$status,"received":$request_length,"sent":$body_bytes_sent,'
        '"range":"$http_range","copy_source":"$http_x_amz_copy_source","fault":"$fault"}}';
    access_log off;
    tcp_nodelay on;
    # status 444 then sends RST instead of FIN
    reset_timedout_connection on;
    keepalive_timeout 600s;
    keepalive_requests 100000000;
    # what the client signed must arrive as it was signed
    merge_slashes off;
    ignore_invalid_headers off;
    large_client_header_buffers 8 64k;
    client_max_body_size 0;
    upstream store {{
        server {upstream};
        keepalive 512;
        keepalive_requests 100000000;
        keepalive_timeout 600s;
    }}
    server {{
        listen {host}:{port} backlog=4096;
        access_log {directory}/access.log requests;
        proxy_http_version 1.1;
        proxy_set_header Host $http_host;
        proxy_set_header Connection "";
        proxy_next_upstream off;
        proxy_request_buffering off;
        # straight through: one buffer, no temporary file
        proxy_buffering off;
        proxy_buffer_size 256k;
        proxy_buffers 8 256k;
        proxy_busy_buffers_size 512k;
        proxy_read_timeout 1h;
        proxy_send_timeout 1h;
        location / {{
            set $fault "";
            set $cut "";
            set $pace 0;
            access_by_lua_file {lua};
            proxy_pass http://store;
        }}
        location @truncated {{
            # the connection ends with the body, or the client would wait for the rest
            keepalive_timeout 0;
            header_filter_by_lua_block {{
                local length = tonumber(ngx.header["Content-Length"]) or 0
                ngx.ctx.left = math.floor(ngx.var.cut * length)
            }}
            body_filter_by_lua_block {{
                local chunk, left = ngx.arg[1], ngx.ctx.left
                if #chunk >= left then
                    ngx.arg[1] = chunk:sub(1, left)
                    ngx.arg[2] = true
                end
                ngx.ctx.left = math.max(0, left - #chunk)
            }}
            proxy_pass http://store;
        }}
        location @paced {{
            limit_rate $pace;
            proxy_buffering on;
            proxy_max_temp_file_size 0;
            proxy_pass http://store;
        }}
        location @stalled {{
            # which nginx observes only for a buffered answer
            limit_rate 1;
            # the headers, which are less, and a little of the body
            limit_rate_after 1k;
            proxy_buffering on;
            proxy_max_temp_file_size 0;
            proxy_pass http://store;
        }}
    }}
    server {{
        listen {host}:{control_port};
        location = /settings {{
            content_by_lua_block {{
                local settings = ngx.shared.settings
                settings:flush_all()
                for name, value in pairs(ngx.req.get_uri_args()) do
                    settings:set(name, value)
                end
                ngx.print("ok")
            }}
        }}
        location = /sync {{ return 200 "ok"; }}
    }}
}}
"""


def find_missing_nginx() -> list[str]:
    """Return which parts of nginx are not installed."""
    programs = [Path("/usr/sbin/nginx"), MODULES / "ngx_http_lua_module.so"]
    return [str(path) for path in programs if not path.exists()]


def write_nginx_conf(directory: Path, *, port: int, control_port: int, upstream: str) -> Path:
    """Write ``nginx.conf`` into *directory*, where nginx then keeps everything; return its path.

    Args:
        directory: exists.
        port: for S3.
        control_port: for `Proxy`.
        upstream: ``host:port`` of the store.
    """
    path = directory / "nginx.conf"
    path.write_text(
        TEMPLATE.format(
            modules=MODULES,
            # As root, nginx would become `nobody`, who may not enter a temporary directory.
            user="user root;" if os.geteuid() == 0 else "",
            directory=directory,
            host=LOCALHOST,
            port=port,
            control_port=control_port,
            upstream=upstream,
            lua=Path(__file__).with_name("faults.lua"),
        )
    )
    return path
