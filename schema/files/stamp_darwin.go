package files

import "syscall"

func (s *stamp) identify(sys any) {
	if st, ok := sys.(*syscall.Stat_t); ok {
		s.dev, s.ino, s.ctime = uint64(st.Dev), st.Ino, st.Ctimespec.Nano()
	}
}
