"""Networks: the policies π_BC and π_θ, and the ensemble of critics Q_R."""
