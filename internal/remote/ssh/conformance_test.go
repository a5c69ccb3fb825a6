package ssh_test

import (
	"testing"

	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/internal/remote/remotetest"
	"github.com/secondline-ops/secondline/internal/remote/ssh"
)

func TestConformsWithOpenSSH(t *testing.T) {
	t.Parallel()
	server := remotetest.StartSSHD(t)
	remotetest.Exercise(t, func(t *testing.T) remote.Transport { return server.Dial(t) })
}

func TestConformsWithServerInProcess(t *testing.T) {
	t.Parallel()
	server := remotetest.StartInProcess(t)
	remotetest.Exercise(t, func(t *testing.T) remote.Transport { return server.Dial(t) })
}

func TestConformsThroughProxyJump(t *testing.T) {
	t.Parallel()
	jump, server := remotetest.StartSSHD(t), remotetest.StartInProcess(t)
	server.Options.KnownHosts = append(server.Options.KnownHosts, jump.Options.KnownHosts...)
	server.Options.Identities = append(server.Options.Identities, jump.Options.Identities...)
	server.Target.Jump = &ssh.Host{Name: "jump", Address: jump.Target.Address, Port: jump.Target.Port, User: jump.User}
	dialer := server.Dialer(t)
	remotetest.Exercise(t, func(t *testing.T) remote.Transport { return remotetest.DialHost(t, dialer, server.Target) })
}
