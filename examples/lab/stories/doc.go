// Package stories holds the end-to-end tests: Secondline's program, real
// servers, a real Alertmanager. They know Secondline only as a user does.
package stories
