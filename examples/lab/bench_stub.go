package main

import "github.com/spf13/cobra"

func (l *lab) bench() *cobra.Command { return &cobra.Command{Use: "bench"} }
