"""How good a policy is: whole episodes in environments and with random numbers of their own."""
