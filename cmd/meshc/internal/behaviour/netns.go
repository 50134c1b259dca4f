//go:build linux

package behaviour

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// insideEnv marks the copy of the test binary that runs in the namespace.
const insideEnv = "MESHC_TEST_NETNS"

// Isolate gives the test binary a network namespace of its own, in which every
// address of 127.0.0.0/8 and of 10.9.0.0/16 is local: Kubernetes does not allow
// loopback addresses in Endpoints, and no port there is anybody else's. Names are
// asked for at 127.0.0.1 (see askHere). It starts the binary again inside and exits
// with its code; inside, it returns. Without root it needs user namespaces.
func Isolate() {
	if os.Getenv(insideEnv) != "" {
		if err := bringUp(); err != nil {
			fmt.Fprintln(os.Stderr, "network namespace:", err)
			os.Exit(1)
		}
		resolver = askHere()
		return
	}
	self, err := os.Executable()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	cmd := exec.Command(self, os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), insideEnv+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	err = cmd.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		os.Exit(max(exit.ExitCode(), 1)) // -1 where a signal ended it
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "cannot start the tests in a network namespace (run as root, or allow user namespaces):", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// bringUp starts the loopback interface. An address with a prefix makes the
// whole prefix local there.
func bringUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	up, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	up.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, up); err != nil {
		return fmt.Errorf("bring lo up: %w", err)
	}
	for _, set := range []struct {
		request uint
		value   net.IP
	}{
		{unix.SIOCSIFADDR, net.IPv4(10, 9, 0, 1)},
		{unix.SIOCSIFNETMASK, net.IPv4(255, 255, 0, 0)},
	} {
		ifr, err := unix.NewIfreq("lo:1")
		if err != nil {
			return err
		}
		if err := ifr.SetInet4Addr(set.value.To4()); err != nil {
			return err
		}
		if err := unix.IoctlIfreq(fd, set.request, ifr); err != nil {
			return fmt.Errorf("give lo the address 10.9.0.1/16: %w", err)
		}
	}
	return nil
}
