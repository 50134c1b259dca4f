// The host functions of Proxy-Wasm and of WASI as a module imports them. Every
// pointer is a u32, so that a test can hand in a bad one.
typedef unsigned char u8;
typedef unsigned u32;
typedef unsigned long long u64;
typedef long long i64;

#define ENV(name) __attribute__((import_module("env"), import_name(#name))) u32 name
#ifdef OLD_WASI
#define WASI(name) __attribute__((import_module("wasi_unstable"), import_name(#name)))
#else
#define WASI(name) __attribute__((import_module("wasi_snapshot_preview1"), import_name(#name)))
#endif
#define EXPORT(name) __attribute__((export_name(#name)))

ENV(proxy_log)(u32 level, u32 p, u32 n);
ENV(proxy_get_status)(u32 code, u32 p, u32 n);
ENV(proxy_get_current_time_nanoseconds)(u32 t);
ENV(proxy_set_tick_period_milliseconds)(u32 ms);
ENV(proxy_get_property)(u32 p, u32 n, u32 vp, u32 vn);
ENV(proxy_set_property)(u32 p, u32 n, u32 vp, u32 vn);
ENV(proxy_send_local_response)(u32 status, u32 dp, u32 dn, u32 bp, u32 bn, u32 hp, u32 hn, u32 grpc);
ENV(proxy_get_header_map_value)(u32 map, u32 kp, u32 kn, u32 vp, u32 vn);
ENV(proxy_add_header_map_value)(u32 map, u32 kp, u32 kn, u32 vp, u32 vn);
ENV(proxy_replace_header_map_value)(u32 map, u32 kp, u32 kn, u32 vp, u32 vn);
ENV(proxy_remove_header_map_value)(u32 map, u32 kp, u32 kn);
ENV(proxy_get_header_map_pairs)(u32 map, u32 p, u32 n);
ENV(proxy_set_header_map_pairs)(u32 map, u32 p, u32 n);
ENV(proxy_get_header_map_size)(u32 map, u32 n);
ENV(proxy_get_buffer_bytes)(u32 type, u32 start, u32 max, u32 p, u32 n);
ENV(proxy_get_buffer_status)(u32 type, u32 n, u32 flags);
ENV(proxy_set_buffer_bytes)(u32 type, u32 start, u32 size, u32 p, u32 n);
ENV(proxy_http_call)(u32 cp, u32 cn, u32 hp, u32 hn, u32 bp, u32 bn, u32 tp, u32 tn, u32 ms, u32 token);
ENV(proxy_grpc_call)(u32 cp, u32 cn, u32 sp, u32 sn, u32 mp, u32 mn, u32 ip, u32 in, u32 bp, u32 bn, u32 ms, u32 token);
ENV(proxy_grpc_stream)(u32 cp, u32 cn, u32 sp, u32 sn, u32 mp, u32 mn, u32 ip, u32 in, u32 token);
ENV(proxy_grpc_send)(u32 token, u32 p, u32 n, u32 end);
ENV(proxy_grpc_cancel)(u32 token);
ENV(proxy_grpc_close)(u32 token);
ENV(proxy_set_shared_data)(u32 kp, u32 kn, u32 vp, u32 vn, u32 cas);
ENV(proxy_get_shared_data)(u32 kp, u32 kn, u32 vp, u32 vn, u32 cas);
ENV(proxy_register_shared_queue)(u32 p, u32 n, u32 token);
ENV(proxy_resolve_shared_queue)(u32 vp, u32 vn, u32 p, u32 n, u32 token);
ENV(proxy_enqueue_shared_queue)(u32 token, u32 p, u32 n);
ENV(proxy_dequeue_shared_queue)(u32 token, u32 p, u32 n);
ENV(proxy_define_metric)(u32 type, u32 p, u32 n, u32 id);
ENV(proxy_increment_metric)(u32 id, i64 by);
ENV(proxy_record_metric)(u32 id, i64 value);
ENV(proxy_get_metric)(u32 id, u32 value);
ENV(proxy_set_effective_context)(u32 id);
ENV(proxy_done)(void);
ENV(proxy_call_foreign_function)(u32 fp, u32 fn, u32 ap, u32 an, u32 rp, u32 rn);
ENV(pthread_equal)(u32 a, u32 b);
__attribute__((import_module("env"), import_name("emscripten_notify_memory_growth"))) void emscripten_notify_memory_growth(u32 index);
#if ABI == 0x010
ENV(proxy_get_configuration)(u32 p, u32 n);
ENV(proxy_continue_request)(void);
ENV(proxy_continue_response)(void);
ENV(proxy_clear_route_cache)(void);
#else
ENV(proxy_continue_stream)(u32 type);
ENV(proxy_close_stream)(u32 type);
#endif
#if ABI == 0x021
ENV(proxy_get_log_level)(u32 level);
#endif

WASI(fd_write) u32 fd_write(u32 fd, u32 iov, u32 n, u32 out);
WASI(fd_read) u32 fd_read(u32 fd, u32 iov, u32 n, u32 out);
WASI(fd_seek) u32 fd_seek(u32 fd, i64 offset, u32 whence, u32 out);
WASI(fd_close) u32 fd_close(u32 fd);
WASI(fd_fdstat_get) u32 fd_fdstat_get(u32 fd, u32 out);
WASI(fd_fdstat_set_flags) u32 fd_fdstat_set_flags(u32 fd, u32 flags);
WASI(fd_prestat_get) u32 fd_prestat_get(u32 fd, u32 out);
WASI(fd_prestat_dir_name) u32 fd_prestat_dir_name(u32 fd, u32 p, u32 n);
WASI(environ_get) u32 environ_get(u32 list, u32 text);
WASI(environ_sizes_get) u32 environ_sizes_get(u32 count, u32 size);
WASI(args_get) u32 args_get(u32 list, u32 text);
WASI(args_sizes_get) u32 args_sizes_get(u32 count, u32 size);
WASI(clock_time_get) u32 clock_time_get(u32 id, i64 precision, u32 out);
WASI(random_get) u32 random_get(u32 p, u32 n);
WASI(sched_yield) u32 sched_yield(void);
WASI(poll_oneoff) u32 poll_oneoff(u32 in, u32 out, u32 n, u32 events);
WASI(path_open) u32 path_open(u32 fd, u32 dirflags, u32 p, u32 n, u32 oflags, i64 rights, i64 inheriting, u32 flags, u32 out);
WASI(path_create_directory) u32 path_create_directory(u32 fd, u32 p, u32 n);
WASI(path_remove_directory) u32 path_remove_directory(u32 fd, u32 p, u32 n);
WASI(path_unlink_file) u32 path_unlink_file(u32 fd, u32 p, u32 n);
WASI(path_filestat_get) u32 path_filestat_get(u32 fd, u32 flags, u32 p, u32 n, u32 out);
WASI(path_rename) u32 path_rename(u32 fd, u32 p, u32 n, u32 to, u32 tp, u32 tn);
WASI(sock_accept) u32 sock_accept(u32 fd, u32 flags, u32 out);
WASI(sock_recv) u32 sock_recv(u32 fd, u32 iov, u32 n, u32 flags, u32 out, u32 oflags);
WASI(sock_send) u32 sock_send(u32 fd, u32 iov, u32 n, u32 flags, u32 out);
WASI(sock_shutdown) u32 sock_shutdown(u32 fd, u32 how);
WASI(fd_filestat_get) u32 fd_filestat_get(u32 fd, u32 out);
WASI(clock_res_get) u32 clock_res_get(u32 id, u32 out);
WASI(fd_advise) u32 fd_advise(u32 fd, i64 offset, i64 n, u32 advice);
WASI(fd_allocate) u32 fd_allocate(u32 fd, i64 offset, i64 n);
WASI(fd_datasync) u32 fd_datasync(u32 fd);
WASI(fd_fdstat_set_rights) u32 fd_fdstat_set_rights(u32 fd, i64 rights, i64 inheriting);
WASI(fd_filestat_set_size) u32 fd_filestat_set_size(u32 fd, i64 n);
WASI(fd_filestat_set_times) u32 fd_filestat_set_times(u32 fd, i64 a, i64 m, u32 flags);
WASI(fd_pread) u32 fd_pread(u32 fd, u32 iov, u32 n, i64 offset, u32 out);
WASI(fd_pwrite) u32 fd_pwrite(u32 fd, u32 iov, u32 n, i64 offset, u32 out);
WASI(fd_readdir) u32 fd_readdir(u32 fd, u32 p, u32 n, i64 cookie, u32 out);
WASI(fd_renumber) u32 fd_renumber(u32 fd, u32 to);
WASI(fd_sync) u32 fd_sync(u32 fd);
WASI(fd_tell) u32 fd_tell(u32 fd, u32 out);
WASI(path_filestat_set_times) u32 path_filestat_set_times(u32 fd, u32 flags, u32 p, u32 n, i64 a, i64 m, u32 f);
WASI(path_readlink) u32 path_readlink(u32 fd, u32 p, u32 n, u32 to, u32 tn, u32 out);
WASI(proc_exit) void proc_exit(u32 code);
